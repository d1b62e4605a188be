"""One suite for each kind of adapter; every member of the kind passes it, those of other projects too."""
