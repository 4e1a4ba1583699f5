"""Pictures of a demo for a browser: pages of one file each, without scripts and without anything from elsewhere."""

from local.demo.pictures.drift import drift_page
from local.demo.pictures.lineage import lineage_page

__all__ = ["drift_page", "lineage_page"]
