#!/usr/bin/env bash
# Fills a dev server (`bao server -dev`) with what config.yaml reads, and writes the AppRole's credentials to run/vault.
# For throw-away servers alone: it mounts engines and writes made-up secrets. Can be run again.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$PWD/.tools/bin:$PATH
export BAO_ADDR=${VAULT_ADDR:-http://127.0.0.1:8200}
export BAO_TOKEN=${VAULT_TOKEN:-root}
umask 077

# Not `grep -q`: it would end at the first match, and `bao` by a broken pipe, which pipefail takes for "not mounted".
mounted() { bao "$1" list -format=json | grep "\"$2/\"" >/dev/null; }

# `secret/` is there on a dev server, with KV version 2.
mounted secrets legacy || bao secrets enable -path=legacy -version=1 kv
mounted auth approle || bao auth enable approle

bao kv put -mount=secret app/database username=shop db-password=first-made-up-password >/dev/null
bao kv put -mount=secret app/database username=shop db-password=second-made-up-password >/dev/null
bao kv put -mount=secret common/tls/site tls.crt='not a certificate' tls.key='not a key' >/dev/null
bao kv put -mount=legacy mail SMTP_HOST=smtp.example.org SMTP_PASSWORD="it's made up" >/dev/null

bao policy write secrets-sync-example - >/dev/null <<POLICY
path "secret/data/app/*"    { capabilities = ["read"] }
path "secret/data/common/*" { capabilities = ["read"] }
path "legacy/mail"          { capabilities = ["read"] }
POLICY
bao write auth/approle/role/secrets-sync-example token_policies=secrets-sync-example token_ttl=20m token_max_ttl=1h >/dev/null

mkdir -p run/vault
bao read -field=role_id auth/approle/role/secrets-sync-example/role-id > run/vault/role-id
bao write -f -field=secret_id auth/approle/role/secrets-sync-example/secret-id > run/vault/secret-id
echo "The server at $BAO_ADDR is filled; run/vault/role-id and run/vault/secret-id are written."
