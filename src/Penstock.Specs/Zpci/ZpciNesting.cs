namespace Penstock.Specs.Zpci;

/// <summary>
/// Numbers by which users ask for nested zPCI translations. They are this project's own: no kernel has such translations, and its numbers are low.
/// </summary>
public static class ZpciNesting
{
    /// <summary>Type of the data in HWPT_ALLOC: <see cref="ZpciNestedTable"/>.</summary>
    public const uint HwptDataType = 0x7a50_4349;

    /// <summary>Type of the entries in HWPT_INVALIDATE: <see cref="ZpciNestedInvalidation"/>.</summary>
    public const uint InvalidateDataType = 0x7a50_4349;

    /// <summary>Container type in SET_IOMMU: translations are a machine's, and users map nothing.</summary>
    public const uint KvmOwnedContainer = 0x7a50;
}
