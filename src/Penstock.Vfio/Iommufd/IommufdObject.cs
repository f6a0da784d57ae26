using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Something with an id in an <see cref="IommufdContext"/>. It lives until it is destroyed by id, which is refused while something else
/// uses it, or until its context goes.
/// </summary>
public abstract class IommufdObject
{
    private protected IommufdObject(IommufdContext context) => Context = context;

    /// <summary>The context.</summary>
    public IommufdContext Context { get; }

    /// <summary>The id, from 1; ids of destroyed objects are used again.</summary>
    public uint Id { get; internal set; }

    /// <summary>Whether it has been destroyed; every call on it is then ENOENT.</summary>
    public bool IsDestroyed { get; internal set; }

    /// <summary>How many other objects, files or drivers keep it from being destroyed.</summary>
    internal int Users { get; set; }

    /// <summary>Order in which a closing context destroys: users before what they use.</summary>
    internal abstract int DestroyOrder { get; }

    /// <summary>Gives everything back. The context's gate is held; the id is gone already.</summary>
    internal abstract void Destroyed();

    /// <inheritdoc/>
    public override string ToString() => $"{GetType().Name} {Id}";

    internal void ThrowIfDestroyed(RangeCall what)
    {
        if (IsDestroyed)
        {
            throw new VfioException(Errno.ENOENT, what, $"{this} has been destroyed");
        }
    }
}
