// NanobatteryTwin
