using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>Data of feature 9 (<c>vfio_device_feature_mig_data_size</c>).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioFeatureMigrationDataSize
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 8;

    /// <summary>About how many bytes a stopped device would have to save.</summary>
    public ulong StopCopyLength;
}
