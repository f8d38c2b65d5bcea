step 'the API server answers' eventually api_is_ready
step 'it has no audit flags' has_no_flags
step 'the manifest is kept' keep manifest manifest
next_boot_is misspelt
