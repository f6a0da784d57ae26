namespace Penstock.Specs.Vfio;

/// <summary>Flags of <see cref="VfioPrecopyInfo"/>.</summary>
[Flags]
public enum VfioPrecopyFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The device has begun its state anew: there are new initial bytes, and both counters have started again.</summary>
    Restart = 1,
}
