"""The clusters that the tests of this folder may ask for."""

from cluster.gridengine_cluster import gridengine  # noqa: F401
from cluster.slurm_site import slurm  # noqa: F401
