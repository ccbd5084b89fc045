package expr

var castFunctions []function
