step 'the API server answers' eventually api_is_ready
step 'it has no audit flags' has_no_flags
cp "$MANIFEST" "$WORK/manifest"
next_boot_is misspelt
