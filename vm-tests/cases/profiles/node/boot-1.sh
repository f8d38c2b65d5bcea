step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'an operator has a login' login operators operator
step 'a pipeline has a login' login pipelines pipeline
step 'an account without rights has a login' login_without_rights

for profile in default low-noise writes cis stig; do
    configure "profile: $profile"
    LIMIT=300 step "the API server audits with $profile" kube-audit-bootstrap apply --wait "$LONG"
    step 'its pod is ready' eventually api_pod_is_ready
    # All that watches the API server begins to watch the new one.
    sleep 20
    LIMIT=$((WINDOW + 60)) step "the volume of $profile, idle" volume "$profile idle" sleep "$WINDOW"
    LIMIT=$((WINDOW + 120)) step "the volume of $profile, at work" volume "$profile work" work "$WINDOW"
    step 'the log begins anew' forget
    step 'people do what must be recorded' do_the_floor
    step "the floor is recorded with $profile" eventually has_the_floor
    # An idle control plane does all of it within half a minute.
    case $profile in
    low-noise)
        sleep 35
        step 'what nobody reads is dropped' has_no_noise
        step 'a stream is recorded when it comes in' has_events '.objectRef.subresource == "exec" and .stage == "RequestReceived"'
        step 'nothing else is recorded twice' has_no_events '.objectRef.subresource != "exec" and .stage == "RequestReceived"'
        ;;
    *) step 'what low-noise drops is recorded' eventually has_the_noise ;;
    esac
    case $profile in
    stig) step 'with stig, secrets are in the log' has_the_secret ;;
    *) step 'no secret is in the log' has_no_secret ;;
    esac
    case $profile in
    writes) step 'the bodies of writes are in the log' has_bodies ;;
    stig) ;;
    *) step 'no body is in the log' has_no_bodies ;;
    esac
    case $profile in
    cis | stig) step 'the limits are those of scanners' has_limits 10 100 ;;
    *) step 'the limits are those of the guide' has_limits 100 50 ;;
    esac
done

configure 'profile: low-noise'
add_fragment
LIMIT=300 step 'the API server audits with a fragment' kube-audit-bootstrap apply --wait "$LONG"
step 'explain names the file' says '10-operator.yaml:4:3, rule 1\) decides' kube-audit-bootstrap policy explain \
    --user system:serviceaccount:operators:operator --verb patch --resource leases --api-group coordination.k8s.io
step 'status finds all in place' kube-audit-bootstrap status
step 'the log begins anew' forget
step 'people do what must be recorded' do_the_floor
step 'all but the lease is recorded' eventually has_events '.responseStatus.code == 401'
step 'the fragment drops the lease' has_no_events "${FLOOR[5]}"
rm /etc/kube-audit-bootstrap/policy.d/10-operator.yaml
step 'without the fragment, status finds a difference' says '^policy +differs' exits 3 kube-audit-bootstrap status
LIMIT=300 step 'apply puts the base back' kube-audit-bootstrap apply --wait "$LONG"
step 'it is the profile' is_profile low-noise
