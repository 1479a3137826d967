// Package hosts TODO.
package hosts

// AdminPassword is what the user admin of each host is asked for by sudo. It has what shells stumble over.
const AdminPassword = `it's a "secret" $HOME \n`

// searchPath is PATH on hosts, and while roots are made.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
