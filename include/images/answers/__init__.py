"""What the images interface answers: its description, and a rendition's file."""
