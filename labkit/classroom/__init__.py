"""What only a lesson needs: its frame, exercise checks, figures, widgets, reports."""
