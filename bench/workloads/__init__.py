# SPDX-License-Identifier: GPL-2.0-or-later
"""What bench/data measures, one family a file; table.py names them all. Each gets a fresh view."""
