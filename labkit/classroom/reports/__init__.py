"""Reports: tables that a lesson shows of recorded runs."""
