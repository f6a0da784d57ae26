using System.Globalization;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// Option values for one device, checked against what its entry declares: unknown names and missing values are refused before the
/// factory runs, so that a factory only parses.
/// </summary>
public sealed class DeviceOptions
{
    private const string HexPrefix = "0x";

    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);
    private readonly string _device;

    internal DeviceOptions(DeviceEntry entry, IReadOnlyDictionary<string, string> given)
    {
        _device = entry.Name;
        foreach (var name in given.Keys)
        {
            if (!entry.Options.Any(option => option.Name == name))
            {
                throw Refused(name, entry.Options.Count == 0
                    ? "the device takes no options"
                    : $"there is no such option; the device takes {string.Join(", ", entry.Options.Select(option => option.Name))}");
            }
        }

        foreach (var option in entry.Options)
        {
            // A script's variable that is not set must not pass for an option that was left out.
            _values[option.Name] = given.TryGetValue(option.Name, out var value)
                ? value.Length != 0 ? value : throw Refused(option.Name, $"its value is empty; give {option.ValueHint}, or leave the option out")
                : option.Default ?? throw Refused(option.Name, $"a value is needed; give {option.Name}={option.ValueHint}");
        }
    }

    /// <summary>The text of an option: as the user gave it, or the default.</summary>
    /// <param name="name">An option that the entry declares.</param>
    /// <returns>The text.</returns>
    public string GetText(string name) => _values[name];

    /// <summary>An unsigned number, decimal or with <c>0x</c> hexadecimal.</summary>
    /// <param name="name">An option that the entry declares.</param>
    /// <param name="minimum">Smallest value allowed.</param>
    /// <param name="maximum">Largest value allowed.</param>
    /// <returns>The number.</returns>
    /// <exception cref="VfioException">EINVAL: not a number, or out of range.</exception>
    public ulong GetNumber(string name, ulong minimum, ulong maximum)
    {
        var text = _values[name];
        var hexadecimal = text.StartsWith(HexPrefix, StringComparison.OrdinalIgnoreCase);
        var parsed = hexadecimal
            ? ulong.TryParse(text.AsSpan(HexPrefix.Length), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value)
            : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
        if (!parsed)
        {
            throw Refused(name, $"'{text}' is not a number; write it in decimal, or in hexadecimal with {HexPrefix} in front");
        }

        if (value < minimum || value > maximum)
        {
            throw Refused(name, hexadecimal
                ? $"{text} is out of range; allowed are 0x{minimum:x} to 0x{maximum:x}"
                : $"{text} is out of range; allowed are {minimum} to {maximum}");
        }

        return value;
    }

    /// <summary>Whether a flag is given.</summary>
    /// <param name="name">A flag that the entry declares.</param>
    /// <returns>True when it is.</returns>
    /// <exception cref="VfioException">EINVAL: a value that is neither true nor false.</exception>
    public bool GetFlag(string name) => _values[name] switch
    {
        DeviceOption.On => true,
        DeviceOption.Off => false,
        var text => throw Refused(name, $"'{text}' is neither {DeviceOption.On} nor {DeviceOption.Off}"),
    };

    /// <summary>A size: decimal bytes, or with K, M, G or T behind it that many times 1024 bytes, and so on.</summary>
    /// <param name="name">An option that the entry declares.</param>
    /// <returns>The size in bytes, at least 1; null when the value is empty.</returns>
    /// <exception cref="VfioException">EINVAL: not a size, or more than 2^63 - 1 bytes.</exception>
    public ulong? GetSize(string name)
    {
        const string Units = "KMGT";
        const int UnitShift = 10;
        string text = _values[name];
        if (text.Length == 0)
        {
            return null;
        }

        int unit = Units.IndexOf(char.ToUpperInvariant(text[^1]), StringComparison.Ordinal) + 1;
        if (!ulong.TryParse(unit == 0 ? text : text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) || number == 0)
        {
            throw Refused(name, $"'{text}' is not a size; write a number of bytes, or one with K, M, G or T behind it, such as 64M");
        }

        if (number > (ulong)long.MaxValue >> (unit * UnitShift))
        {
            throw Refused(name, $"{text} is more than the largest file; choose a smaller size");
        }

        return number << (unit * UnitShift);
    }

    /// <summary>The error for a value that the factory itself finds wrong.</summary>
    /// <param name="name">The option.</param>
    /// <param name="why">Reason and remedy.</param>
    /// <returns>The exception, to be thrown.</returns>
    public VfioException Refused(string name, string why) => new(Errno.EINVAL, $"option '{name}' of device '{_device}'", why);
}
