using System.Globalization;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A mediated device: a device that a driver makes out of a parent. It stays known by its UUID, and its instance stays taken, until it is
/// removed and nobody holds it any more. All members may be called from any thread.
/// </summary>
public sealed class MdevDevice
{
    private int _references = 1;
    private volatile VfioDevice? _device;
    private volatile bool _active;

    internal MdevDevice(MdevType type, MdevParent parent, Guid uuid)
    {
        Type = type;
        Parent = parent;
        Uuid = uuid;
        Name = uuid.ToString("D");
    }

    /// <summary>The UUID.</summary>
    public Guid Uuid { get; }

    /// <summary>Its name and that of its device: the UUID in lower case.</summary>
    public string Name { get; }

    /// <summary>The type.</summary>
    public MdevType Type { get; }

    /// <summary>The parent.</summary>
    public MdevParent Parent { get; }

    /// <summary>The device that users open; null before it is made and after it is removed.</summary>
    public VfioDevice? Device
    {
        get => _device;
        internal set => _device = value;
    }

    /// <summary>Whether it is created to the end and nobody removes it.</summary>
    public bool IsActive
    {
        get => _active;
        internal set => _active = value;
    }

    /// <summary>Removes it: nobody can open it any more; users that have it open are asked for it. Returns when it is closed.</summary>
    /// <exception cref="VfioException">
    /// ENODEV: it is gone, or its parent is being unregistered, which removes it; EAGAIN: somebody else removes it, or it is not created yet.
    /// </exception>
    public void Remove() => Parent.Remove(this);

    /// <summary>What writing to its <c>remove</c> does.</summary>
    /// <param name="number">A number as C writes them, a line end may follow; 0 does nothing.</param>
    /// <exception cref="VfioException">EINVAL: no number; as for <see cref="Remove()"/>.</exception>
    public void Remove(string number)
    {
        ArgumentNullException.ThrowIfNull(number);
        if (!TryParse(number, out ulong value))
        {
            throw new VfioException(Errno.EINVAL, $"removing mdev {Name}", "what was written is no number");
        }

        if (value != 0)
        {
            Remove();
        }
    }

    /// <summary>Keeps the object alive beyond its removal; each call needs a <see cref="Release"/>.</summary>
    /// <exception cref="VfioException">ENODEV: it is gone.</exception>
    public void Hold()
    {
        int references = Volatile.Read(ref _references);
        while (references != 0)
        {
            int found = Interlocked.CompareExchange(ref _references, references + 1, references);
            if (found == references)
            {
                return;
            }

            references = found;
        }

        throw new VfioException(Errno.ENODEV, $"holding mdev {Name}", "it is gone");
    }

    /// <summary>Gives a hold back. With the last one, after the removal, the UUID and the instance are free again.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _references) == 0)
        {
            Parent.Released(this);
        }
    }

    /// <inheritdoc/>
    public override string ToString() => $"mdev {Name}";

    private static bool TryParse(string text, out ulong value)
    {
        const NumberStyles Hexadecimal = NumberStyles.AllowHexSpecifier;
        ReadOnlySpan<char> digits = text.AsSpan();
        digits = digits.EndsWith("\n") ? digits[..^1] : digits;
        digits = digits.StartsWith("+") ? digits[1..] : digits;
        if (digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            return ulong.TryParse(digits[2..], Hexadecimal, CultureInfo.InvariantCulture, out value);
        }

        // A leading 0 means octal; only whether it is 0 matters, so that the digits are all that has to be right.
        if (digits.Length > 1 && digits[0] == '0' && digits.ContainsAnyExceptInRange('0', '7'))
        {
            value = 0;
            return false;
        }

        return ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }
}
