"""Pod networking and Service VIPs of one node, by netlink and nftables. Knows no agent and no control plane."""
