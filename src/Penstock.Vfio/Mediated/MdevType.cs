using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A kind of mediated device that a parent can make. A driver may derive from it to keep facts of its own. All members may be called from any
/// thread.
/// </summary>
public class MdevType
{
    private const int UuidLength = 36;

    private MdevParent? _parent;

    /// <summary>Declares a type, which belongs to a parent once that is registered.</summary>
    /// <param name="name">Short name, without the driver's.</param>
    /// <param name="prettyName">Name for people.</param>
    public MdevType(string name, string? prettyName = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ShortName = name;
        PrettyName = prettyName ?? name;
    }

    /// <summary>Name for people.</summary>
    public string PrettyName { get; }

    /// <summary>The parent, also after it was unregistered.</summary>
    /// <exception cref="InvalidOperationException">The type belongs to none yet.</exception>
    public MdevParent Parent => Owner ?? throw new InvalidOperationException($"type {ShortName} belongs to no parent yet");

    /// <summary>Full name, the driver's first: <c>driver-name</c>.</summary>
    public string Name => $"{Parent.Driver.Name}-{ShortName}";

    /// <summary>What devices of the type look like to users.</summary>
    public string DeviceApi => Parent.Driver.DeviceApi;

    /// <summary>Text for people; null when the driver has none.</summary>
    public string? Description => Parent.Driver.Describe(this);

    /// <summary>How many more can be made now.</summary>
    public int AvailableInstances => Parent.CountsInstances ? Parent.AvailableInstances : Parent.Driver.GetAvailable(this);

    /// <summary>The devices of this type as of now.</summary>
    public IReadOnlyList<MdevDevice> Devices => [.. Parent.Devices.Where(d => d.Type == this)];

    internal string ShortName { get; }

    /// <summary>Makes a mediated device: what writing to the type's <c>create</c> does.</summary>
    /// <param name="uuid">Its UUID, 36 characters; a line end may follow.</param>
    /// <returns>The device, which users can open now.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: not a UUID; EEXIST: a mediated device of this host has it, removed ones included that are still held; EUSERS: no instance is
    /// left; ENODEV: the parent is being unregistered, or is; the driver's own errors.
    /// </exception>
    public MdevDevice Create(string uuid)
    {
        ArgumentNullException.ThrowIfNull(uuid);
        return TryParse(uuid, out Guid parsed)
            ? Create(parsed)
            : throw new VfioException(Errno.EINVAL, $"creating a {Name}", "this is no UUID: 36 characters, hexadecimal digits in groups of 8-4-4-4-12");
    }

    /// <summary>Makes a mediated device.</summary>
    /// <param name="uuid">Its UUID.</param>
    /// <returns>The device, which users can open now.</returns>
    /// <exception cref="VfioException">As for text, but not EINVAL.</exception>
    public MdevDevice Create(Guid uuid) => Parent.Create(this, uuid);

    /// <inheritdoc/>
    public override string ToString() => ShortName;

    internal MdevParent? Owner => Volatile.Read(ref _parent);

    /// <summary>Becomes a parent's unless a registered one has it.</summary>
    /// <returns>Who has it; null when it is the parent's now.</returns>
    internal MdevParent? TryClaim(MdevParent parent, out MdevParent? before)
    {
        while (true)
        {
            MdevParent? owner = before = Owner;
            if (owner is { IsRegistered: true } && owner != parent)
            {
                return owner;
            }

            if (Interlocked.CompareExchange(ref _parent, parent, owner) == owner)
            {
                return null;
            }
        }
    }

    /// <summary>Takes a claim back, unless somebody has claimed it since.</summary>
    internal void Unclaim(MdevParent parent, MdevParent? before) => Interlocked.CompareExchange(ref _parent, before, parent);

    private static bool TryParse(string text, out Guid uuid)
    {
        uuid = default;
        if (text.Length != UuidLength && !(text.Length == UuidLength + 1 && text[^1] == '\n'))
        {
            return false;
        }

        // The platform's parser is more liberal than the format.
        for (int i = 0; i < UuidLength; i++)
        {
            if (i is 8 or 13 or 18 or 23 ? text[i] != '-' : !char.IsAsciiHexDigit(text[i]))
            {
                return false;
            }
        }

        return Guid.TryParseExact(text.AsSpan(0, UuidLength), "D", out uuid);
    }
}
