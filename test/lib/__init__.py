# SPDX-License-Identifier: GPL-2.0-or-later
"""What the integration tests stand on: a private sshd, mounts that clean up, feature gates."""
