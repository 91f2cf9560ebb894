# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mobile applications: signed packages, F-Droid repositories, translations, and what stands against publishing them."""
