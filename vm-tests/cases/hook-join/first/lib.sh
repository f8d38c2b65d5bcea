worker_is_done() { kubectl get node worker -o json | jq -e '.metadata.annotations["case/done"]'; }
