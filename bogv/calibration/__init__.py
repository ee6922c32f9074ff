"""What cosines, hash distances and agreeing points mean in one gallery, measured on its images."""
