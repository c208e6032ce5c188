"""The limits are stated where people look for them."""

from fastvit_dense import limits


def test_security_page_states_the_limits(root_dir):
    page = (root_dir / 'SECURITY.md').read_text()
    stated = (
        f'{limits.PIXELS / 1e6:.0f} megapixels',
        f'{limits.PIXELS * limits.BYTES_PER_PIXEL / 1e6:.0f} MB',
        f'{limits.UNPACKED_RATIO} times the file and {limits.UNPACKED_SPARE / 1e6:.0f} MB',
        f'{limits.DIRECTORY_BYTES / 1e6:.0f} MB, about',
        f'(stride 0) | {limits.REPEATED_BYTES / 1e6:.0f} MB',
        f'{limits.NESTING} deep',
        f'unpacked | {limits.MANO_BYTES / 1e6:.0f} MB',
        f'{limits.JSON_ENTRY / 1e6:.1f} million characters; {limits.JSON_SPACE / 1e6:.0f} million',
        f'{limits.HAND_NUMBER:.0e}'.replace('+', ''),
        f'a device, a pipe | {limits.JSON_BYTES / 1e9:.1f} GB',
        f'the file | {limits.INDEX_BYTES / 1e6:.0f} MB',
        f'exported file | {limits.CONFIG_TEXT_BYTES / 1e6:.0f} million characters',
        f'the answer | {limits.DOWNLOADED_BYTES / 1e6:.0f} MB',
        f'the file | {limits.REPORT_BYTES / 1e6:.0f} MB',
        f'{limits.TENSOR_BYTES / 1e9:.2f} GB',
    )
    assert [text for text in stated if text not in page] == []


def test_a_config_is_the_only_program(root_dir):
    for name in ('README.md', 'SECURITY.md'):
        text = ' '.join((root_dir / name).read_text().split())
        assert 'config file is a program' in text
