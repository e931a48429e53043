"""What files hold beside their pixels, read by hand, where Pillow is stricter or laxer than browsers are."""
