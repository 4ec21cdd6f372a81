# Fills a development server with what ../secrets-sync/config.yaml reads, and writes the credentials of secrets-sync to
# /approle. It can run again.
set -eu
umask 077

# Compose waits for the server; older versions of Podman do not.
until bao status >/dev/null 2>&1; do sleep 1; done

bao kv put -mount=secret app/database username=shop password=first-made-up-password
bao kv put -mount=secret app/api token=a-made-up-token

# secrets-sync may read these secrets and do nothing else.
bao policy write secrets-sync - <<POLICY
path "secret/data/app/*" { capabilities = ["read"] }
POLICY

bao read sys/auth/approle >/dev/null 2>&1 || bao auth enable approle
bao write auth/approle/role/secrets-sync token_policies=secrets-sync token_ttl=20m token_max_ttl=1h

bao read -field=role_id auth/approle/role/secrets-sync/role-id > /approle/role-id
bao write -f -field=secret_id auth/approle/role/secrets-sync/secret-id > /approle/secret-id
chown 65532:65532 /state
chmod 700 /state
chown 65532:65532 /approle /approle/role-id /approle/secret-id
echo 'The server is filled; role id and secret id are in the volume approle.'
