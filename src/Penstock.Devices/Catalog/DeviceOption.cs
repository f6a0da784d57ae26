namespace Penstock.Devices;

/// <summary>An option that a catalog entry takes.</summary>
/// <param name="Name">Name without dashes, lower case, for example <c>inputs</c>.</param>
/// <param name="ValueHint">What to put in the place of the value in a usage line, for example <c>MASK</c>.</param>
/// <param name="Default">Value in force when the user gives none; null when the option must be given.</param>
/// <param name="Help">One line, without a full stop at the end.</param>
public sealed record DeviceOption(string Name, string ValueHint, string? Default, string Help);
