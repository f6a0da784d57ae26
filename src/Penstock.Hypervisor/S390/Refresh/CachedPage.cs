namespace Penstock.Hypervisor;

/// <summary>What a <see cref="RefreshCache"/> has for a page.</summary>
internal enum CachedPage
{
    None,
    Same,
    Other,
}
