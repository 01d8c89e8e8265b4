"""An analysis written down: JSON, JSON Lines, CSV, subtitles, a picture, a page."""
