namespace Penstock.Specs.Vfio;

/// <summary>Flags of DEVICE_FEATURE (linux/vfio.h).</summary>
[Flags]
public enum VfioFeatureFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The bits that name the feature, see <see cref="VfioFeature"/>.</summary>
    FeatureMask = 0xffff,

    /// <summary>Ask for it.</summary>
    Get = 0x1_0000,

    /// <summary>Set it.</summary>
    Set = 0x2_0000,

    /// <summary>Only ask whether this could be done.</summary>
    Probe = 0x4_0000,

    /// <summary>Every operation.</summary>
    Operations = Get | Set | Probe,
}
