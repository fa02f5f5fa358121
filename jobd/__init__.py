"""jobd, the job daemon for one machine. Plugin authors import `jobd.sdk`, clients `jobd.client`."""

__version__ = "0.1.0"
