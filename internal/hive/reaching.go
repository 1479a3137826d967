package hive

// SSHPort is where the host's sshd is reached: deployment.targetPort, which may be that of a gateway, else the first port of its sshd.
func (h Host) SSHPort() int {
	if h.Deployment.TargetPort != nil {
		return *h.Deployment.TargetPort
	}
	if len(h.SSH.Ports) > 0 {
		return h.SSH.Ports[0]
	}
	return 22
}
