// Package secret keeps the secrets of a workspace: each host's SSH host key, its deployer's password hash, and files that its
// installation needs, such as the key of an encrypted disk.
//
// In the workspace they are age files in secrets/NAME/, so that they can be committed and `age -d` reads them without us (a [Vault]). Who
// can read them is a key of this computer's user (an [Identity]) and whom secrets/recipients names, a line for each.
//
// On their way to a machine they are a [Bundle], which is put into a place that the installation image has for it (a region, see
// [Region] and [Find]) while the image is written, or sent over SSH. Outside of memory and that medium they are never in the clear.
package secret
