"""The datasets: the catalogue, their layouts on disk, and how to fetch them."""
