# Stands for an application: shows its files, and shows them again when they change. After a restart of the machine the
# tmpfs volume is empty and Docker starts this container without waiting for secrets-sync, so it waits for its files.
trap 'exit 0' TERM
until [ -s /secrets/app.env ] && [ -s /secrets/api-token ]; do
  sleep 1 &
  wait $!
done
shown=
while true; do
  found=$(ls -ln /secrets/app.env /secrets/api-token && cat /secrets/app.env /secrets/api-token)
  if [ "$found" != "$shown" ]; then
    printf '%s\n\n' "$found"
    shown=$found
  fi
  sleep 1 &
  wait $!
done
