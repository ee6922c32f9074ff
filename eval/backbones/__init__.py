"""Other networks to compare bogv's with: torchvision's, timm's, open_clip's. Never in bogv."""
