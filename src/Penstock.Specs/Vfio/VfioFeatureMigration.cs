using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>Data of feature 1 (<c>vfio_device_feature_migration</c>).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioFeatureMigration
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 8;

    /// <summary>What the device can do.</summary>
    public MigrationFlags Flags;
}
