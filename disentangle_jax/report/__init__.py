"""What an evaluation measured, presented: pictures, plots, one page."""
