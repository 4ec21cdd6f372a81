# What secrets-sync may do for the two examples. The policy "default", which every token has unless it is left out, lets it
# renew leases and look them up, but not revoke them.
path "database/creds/shop" {
  capabilities = ["read"]
}
path "pki/issue/web" {
  capabilities = ["update"]
}
path "sys/leases/revoke" {
  capabilities = ["update"]
}
