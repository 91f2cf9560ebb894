# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said of a site that a bucket serves, to be said in the reader's language; see :mod:`sentences`."""

from __future__ import annotations

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import N_

BUCKETS = (
    N_("only the bucket was changed"),
    N_("the mover deploys the release into a bucket"),
    N_("the new page is tested and measured when commit shows it"),
    N_("the bucket holds {count} objects"),
    N_("the bucket cannot be used"),
    N_("{place}: {count} objects are saved"),
    N_("{place}: what was there before is saved"),
    N_("{place}: release {name}: {count} objects put, {left} removed"),
    N_("{place}: release {name}: {count} objects put that nobody asks for yet"),
    N_("{place}: release {name}: what its pages load is there"),
    N_("{place}: release {name} is there"),
    N_("{place}: {name} is rolled back: {count} objects put back, {left} removed"),
    N_("{place}: nothing of {name} was put"),
    N_("that the bucket takes files and keeps their headers: nothing is written in check mode"),
    N_("{count} objects that others changed in the bucket were left alone: {names}"),
    N_("{count} objects of before, which the release has not, are still served: {names}"),
    N_("rclone {version} is too old: it does not tell the headers of objects"),
    N_("{place} cannot be listed: {reason}"),
    N_("{place} cannot be written to: {reason}"),
    N_("the store does not keep these headers of an object: {what}"),
    N_("it holds objects whose names are no paths of files: {names}"),
    N_("the bucket holds {count} objects, and it is not said whether users see them"),
    N_("the bucket holds {count} objects, index.html among them, and it is not said whether users see them"),
    N_("backups go to {place}, where the site's users could read them"),
    N_("it is not set: browsers ask for every file of the bucket again on each visit"),
    N_("a release goes into a bucket or into a directory, not into both"),
    N_("the release goes into a bucket, and hosts are in both groups, frontend and target"),
    N_("a bucket that is brought back keeps nothing of the release"),
    N_("correct it or its configuration of rclone, or name another bucket"),
    N_("install rclone on this host"),
    N_("install rclone {version} or later on this host"),
    N_("name a bucket whose store keeps them: browsers would get the wrong ones"),
    N_("remove them, or name a prefix without them"),
    N_("set it: true when the bucket is served to users now, false when it is not"),
    N_("name another bucket or prefix"),
    N_("name the directories whose files have a digest in their names"),
    N_("name one of frontend_bucket and frontend_path"),
    N_("take them out of the group frontend, or name frontend_path in place of frontend_bucket"),
    N_("set it to false"),
    N_("the bucket has changed since it was saved ({names}): let nobody else write to it, and save it again"),
    N_("{place} does not hold what was sent to it ({names}): the files changed meanwhile, somebody else writes to it, "
       "or it cannot be trusted"),
    N_("{place} changes while it is copied ({names}): let nobody write to it, and run again"),
    N_("the copy {path} is damaged ({names}): nothing was put back from it"),
    N_("the build has links, which a bucket cannot hold ({names}): build files"),
)
