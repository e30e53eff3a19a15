"""What only a lesson needs: exercise checks, figures, widgets, reports."""
