"""Making a clip longer: windows that each go on from the end of what there is, joined and sealed as one."""
