// RunExport
