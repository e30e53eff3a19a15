"""For authors and instructors: build notebooks, start JupyterLab, run the whole course."""
