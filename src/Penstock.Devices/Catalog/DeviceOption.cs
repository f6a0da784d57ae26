namespace Penstock.Devices;

/// <summary>An option that a catalog entry takes.</summary>
/// <param name="Name">Name without dashes, lower case, for example <c>inputs</c>.</param>
/// <param name="ValueHint">
/// What to put in the place of the value in a usage line, for example <c>MASK</c>; empty for a flag, which has no value but is given or not.
/// </param>
/// <param name="Default">
/// Value in force when the user gives none, which may be empty; null when the option must be given. For a flag <see cref="Off"/>.
/// </param>
/// <param name="Help">One line, without a full stop at the end.</param>
public sealed record DeviceOption(string Name, string ValueHint, string? Default, string Help)
{
    /// <summary>Value of a flag that is given.</summary>
    public const string On = "true";

    /// <summary>Value of a flag that is not given.</summary>
    public const string Off = "false";

    /// <summary>Whether it has no value but is given or not.</summary>
    public bool IsFlag => ValueHint.Length == 0;
}
