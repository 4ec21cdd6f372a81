# What secrets-sync may do for the two examples. The policy "default", which every token has unless it is left out, lets it
# renew leases and look them up, but not revoke them. For a token without "default": docs/dynamic-secrets.md has all lines.
path "database/creds/shop" {
  capabilities = ["read"]
}
path "pki/issue/web" {
  capabilities = ["update"]
}
# The logins of this role alone. A parameter that is not in the list, such as "sync" without its entry, is refused.
path "sys/leases/revoke" {
  capabilities       = ["update"]
  allowed_parameters = { "lease_id" = ["database/creds/shop/*"], "sync" = [] }
}
