"""Images: an upload that is only stored, and a pipeline that makes the renditions."""
