package expr

var textFunctions []function
func buildConcat(c *call) kernel { return nil }
