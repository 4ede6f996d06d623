"""The kernel behind a port: netlink, nftables, /proc. No decisions here."""
