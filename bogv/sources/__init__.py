"""Where images come from: paths, URLs, Base64, folders, samples."""
