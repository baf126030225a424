"""All shell scripts that run on a device for `deploy`, a module for each thing that they do.

They need a POSIX shell, tar, sha256sum and the usual file commands; busybox has all of it. Names, paths and hashes
reach them as arguments or on standard input, never as part of a script, and only after
`edgedeploy.foundation.validation` let them through. `edgedeploy.deploy.scripts.running` runs them. What lies where on a
device:

    ~/.edgedeploy/blobs/sha256/HASH            every file once, under the SHA-256 of its content
    ~/.edgedeploy/releases/NAME/ID/…           a bundle's files: hard links to blobs, which nobody may write
    ~/.edgedeploy/releases/NAME/ID/.bytecode   what Python made of the sources there at the last check, and its hashes
    ~/.edgedeploy/releases/NAME/ID.parent      the release that was current when this one became so
    ~/.edgedeploy/releases/NAME/ID.unconfirmed  beside one that a push brought or made current, and has not confirmed;
                                               not empty where a `ship` is to confirm it, by its verdict
    ~/.edgedeploy/releases/NAME/ID.verdict     what the last `ship` with it found: holds, breaks or undetermined
    ~/.edgedeploy/releases/NAME/ID.sig         the signature of its manifest, if it came with one
    ~/.edgedeploy/current/NAME                 link to ../releases/NAME/ID: the only truth, switched by one rename
    ~/.edgedeploy/releases/NAME/ID.partial/    a release that has not passed its checks, and is not in its place
    ~/.edgedeploy/staging/                     what is being received
    ~/.edgedeploy/partial/HASH                 the beginning of a blob, of a transfer that was cut
    ~/.edgedeploy/partial/.wanted.NAME         the hashes of what that transfer was to bring
    ~/.edgedeploy/allowed_signers              put there by the device's owner: whose signatures a release needs
    ~/.edgedeploy/lock                         a link whose target says who is at work
    ~/.edgedeploy/log                          what was done, a line each: `edgedeploy.deploy.device_log` reads it
"""
